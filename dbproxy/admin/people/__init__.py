"""Users and departments: changing, finding, importing and exporting them."""
