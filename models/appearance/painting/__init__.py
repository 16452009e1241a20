"""What the photo does not show of the mouth is painted once, at enrolment: what runs."""
