"""What texts and probabilities show, wherever they are from: diversity, sameness, calibration, preference."""
