"""Who is heard, who speaks, who has the floor and who looks where."""
