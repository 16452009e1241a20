"""Our face tracker against MediaPipe, on people neither was shown."""
