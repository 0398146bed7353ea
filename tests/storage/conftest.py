"""What tests of the stores share."""
