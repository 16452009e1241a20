"""How the motion networks are trained and measured."""
