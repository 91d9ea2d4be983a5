"""How tests run: in virtual time, with counted steps, few examples, patience, and many cases in one."""
