"""Programs that run in the containers of the tests, as their makers write them: with pydicom and without anything of hilum."""
