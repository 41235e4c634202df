"""`python -m covid_xray` is the command `covid-xray`."""

from covid_xray.cli import main

main()
