"""The work on millions of images, on one of Apache Beam's runners; needs the extra `beam`."""
