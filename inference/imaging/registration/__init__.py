"""Registration: where one volume of a patient lies on another, found in the images."""
