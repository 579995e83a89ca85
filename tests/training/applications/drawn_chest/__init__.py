"""chest-xray for drawn chests, which the input judge rightly takes for none: all of it but that the picture has to look like a chest."""

from dataclasses import replace

from inference.applications.chest_xray.application import APPLICATION as CHEST_XRAY
from inference.imaging.judge.expects import Expects

APPLICATION = replace(CHEST_XRAY, name="drawn-chest", expects=Expects(), series=0)
