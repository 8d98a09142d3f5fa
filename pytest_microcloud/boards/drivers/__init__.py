"""Where a board comes from and who controls its power. `DRIVERS` names what there is."""

DRIVERS = ("container", "ssh")
