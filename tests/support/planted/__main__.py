import sys

from tests.support.planted.cases import table

sys.stdout.write(table() + "\n")
