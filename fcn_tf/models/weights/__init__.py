"""Weights from elsewhere, copied into an FCN by name after every shape has been checked."""
