"""What is learned, and what it is learned from."""

from visavis.models.offline import silence

silence()  # an effect of importing, because onnxruntime's own import is what it has to come before
