"""MIMIC-IV, module icu: ICU stays and what the bedside system (MetaVision) recorded."""

from functools import partial

from bronze.mimiciv.contract import ADMISSION, SUBJECT
from bronze.mimiciv.contract import table as any_table

table = partial(any_table, "icu")

STAY = "stay_id BIGINT NOT NULL COMMENT 'ICU stay'"
ITEM = "itemid BIGINT NOT NULL COMMENT 'what was recorded, see d_items'"
CAREGIVER = "caregiver_id BIGINT COMMENT 'who recorded it, see caregiver'"
CHARTED = "charttime TIMESTAMP COMMENT 'when it was observed'"
STORED = "storetime TIMESTAMP COMMENT 'when it was entered or validated'"
STARTED = "starttime TIMESTAMP COMMENT 'when it began'"
ENDED = "endtime TIMESTAMP COMMENT 'when it ended'"
WARNING = "warning INT COMMENT '1: a warning was raised'"
ORDERED = (
    "orderid BIGINT COMMENT 'order that the row belongs to'",
    "linkorderid BIGINT COMMENT 'first order of the same kind'",
)
BAG = (
    "isopenbag INT COMMENT '1: from an open bag'",
    "continueinnextdept INT COMMENT '1: went on in the next department'",
    "statusdescription STRING COMMENT 'such as FinishedRunning, Stopped, ChangeDose/Rate'",
)
AMOUNTS = (
    "amount DOUBLE COMMENT 'amount given between the two times, in amountuom'",
    "amountuom STRING COMMENT 'unit of the amount'",
    "rate DOUBLE COMMENT 'rate given, in rateuom'",
    "rateuom STRING COMMENT 'unit of the rate'",
)
WEIGHT = "patientweight DOUBLE COMMENT 'weight that doses were computed with, kg'"
ORIGINAL = (
    "originalamount DOUBLE COMMENT 'amount in the bag at starttime'",
    "originalrate DOUBLE COMMENT 'rate planned'",
)
BY_CAREGIVER = ("caregiver_id",)

ICU = (
    table(
        "icustays",
        SUBJECT,
        ADMISSION,
        STAY,
        "first_careunit STRING COMMENT 'ICU first cared in'",
        "last_careunit STRING COMMENT 'ICU last cared in'",
        "intime TIMESTAMP COMMENT 'arrival in the ICU'",
        "outtime TIMESTAMP COMMENT 'departure from the ICU'",
        "los DOUBLE COMMENT 'time in the ICU, days'",
        key=("stay_id",),
        description="One row an ICU stay.",
    ),
    table(
        "chartevents",
        SUBJECT,
        ADMISSION,
        STAY,
        CAREGIVER,
        CHARTED,
        STORED,
        ITEM,
        "value STRING COMMENT 'observation as recorded'",
        "valuenum DOUBLE COMMENT 'observation as a number, in valueuom'",
        "valueuom STRING COMMENT 'unit of the observation'",
        WARNING,
        absent_ok=BY_CAREGIVER,
        description="One row an observation charted at the bedside.",
    ),
    table(
        "datetimeevents",
        SUBJECT,
        ADMISSION,
        STAY,
        CAREGIVER,
        CHARTED,
        STORED,
        ITEM,
        "value TIMESTAMP COMMENT 'the date or time recorded'",
        "valueuom STRING COMMENT 'Date or Date and Time'",
        WARNING,
        absent_ok=BY_CAREGIVER,
        description="One row an observation that is itself a date or time.",
    ),
    table(
        "inputevents",
        SUBJECT,
        ADMISSION,
        STAY,
        CAREGIVER,
        STARTED,
        ENDED,
        STORED,
        ITEM,
        *AMOUNTS,
        *ORDERED,
        "ordercategoryname STRING COMMENT 'category of the order'",
        "secondaryordercategoryname STRING COMMENT 'second category of the order'",
        "ordercomponenttypedescription STRING COMMENT 'role in the order, may end in blanks'",
        "ordercategorydescription STRING COMMENT 'kind of order, such as Bolus'",
        WEIGHT,
        "totalamount DOUBLE COMMENT 'total in the bag, in totalamountuom'",
        "totalamountuom STRING COMMENT 'unit of the total'",
        *BAG,
        *ORIGINAL,
        absent_ok=BY_CAREGIVER,
        description="One row a fluid or drug given.",
    ),
    table(
        "ingredientevents",
        SUBJECT,
        ADMISSION,
        STAY,
        CAREGIVER,
        STARTED,
        ENDED,
        STORED,
        ITEM,
        *AMOUNTS,
        *ORDERED,
        "statusdescription STRING COMMENT 'such as FinishedRunning, Stopped, ChangeDose/Rate'",
        *ORIGINAL,
        optional=True,
        absent_ok=BY_CAREGIVER,
        description="One row an ingredient of an input: water, protein, calories.",
    ),
    table(
        "outputevents",
        SUBJECT,
        ADMISSION,
        STAY,
        CAREGIVER,
        CHARTED,
        STORED,
        ITEM,
        "value DOUBLE COMMENT 'output since the last one, in valueuom'",
        "valueuom STRING COMMENT 'unit, mL'",
        absent_ok=BY_CAREGIVER,
        description="One row an output of the patient, such as urine.",
    ),
    table(
        "procedureevents",
        SUBJECT,
        ADMISSION,
        STAY,
        CAREGIVER,
        STARTED,
        ENDED,
        "storetime TIMESTAMP COMMENT 'when it was entered or validated, to the millisecond'",
        ITEM,
        "value DOUBLE COMMENT 'duration, in valueuom'",
        "valueuom STRING COMMENT 'unit of the duration, such as min'",
        "location STRING COMMENT 'where on the body'",
        "locationcategory STRING COMMENT 'kind of location'",
        *ORDERED,
        "ordercategoryname STRING COMMENT 'category of the order'",
        "ordercategorydescription STRING COMMENT 'kind of order'",
        WEIGHT,
        *BAG,
        *ORIGINAL,
        absent_ok=(*BY_CAREGIVER, "originalamount", "originalrate"),
        description="One row a procedure at the bedside.",
    ),
    table(
        "d_items",
        "itemid BIGINT NOT NULL COMMENT 'item'",
        "label STRING COMMENT 'name of the item'",
        "abbreviation STRING COMMENT 'name in short'",
        "linksto STRING COMMENT 'table that holds its events'",
        "category STRING COMMENT 'group of items'",
        "unitname STRING COMMENT 'unit of its values'",
        "param_type STRING COMMENT 'kind of its values, such as Numeric'",
        "lownormalvalue DOUBLE COMMENT 'lower end of the normal range'",
        "highnormalvalue DOUBLE COMMENT 'upper end of the normal range'",
        key=("itemid",),
        description="One row an item of the event tables, laboratory apart.",
    ),
    table(
        "caregiver",
        "caregiver_id BIGINT NOT NULL COMMENT 'caregiver'",
        key=("caregiver_id",),
        optional=True,
        description="One row a caregiver.",
    ),
)
