"""MIMIC-III Clinical Database (v1.4, and its demo): the 26 tables as published, in lower case.

Johnson et al., Sci Data 3:160035 (2016), doi:10.1038/sdata.2016.35; columns after https://mimic.mit.edu/docs/iii/tables.
Times are shifted per patient into 2100-2200, and a patient over 89 has a birth about 300 years before admission.
"""

from bronze.mimiciii.dictionaries import DICTIONARIES
from bronze.mimiciii.hospital import HOSPITAL
from bronze.mimiciii.icu import ICU

TABLES = (*HOSPITAL, *ICU, *DICTIONARIES)
