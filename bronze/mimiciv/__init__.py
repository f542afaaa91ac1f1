"""MIMIC-IV (v2.2, v3.1, and the demo): the 31 tables of its modules hosp and icu as published.

Johnson et al., Sci Data 10:1 (2023), doi:10.1038/s41597-022-01899-x; columns after https://mimic.mit.edu/docs/iv/modules.
Times are shifted per patient into 2100-2200; ages over 89 are 91 and there is no date of birth.
"""

from bronze.mimiciv.hosp import HOSP
from bronze.mimiciv.icu import ICU
from bronze.mimiciv.orders import ORDERS

TABLES = (*HOSP, *ORDERS, *ICU)
