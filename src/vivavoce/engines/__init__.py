"""What hears, thinks and speaks. See README.md in this folder."""
