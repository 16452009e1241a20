"""What keeps the owner of a face in control: who did what, provably, without naming anybody."""
