"""The judge: is this picture what the model was made for? Asked before the model of headers and pixels, and after it of what was marked."""
