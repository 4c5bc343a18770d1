"""The code of the Lambda functions. Imports go down this list:

wiring                  events → calls; builds every part
alerts, api, trigger    what the functions do; these three do not know each other
runs                    the record, the timeline, the cost and the metrics of a run
aws                     one module for each S3 object, table or service
settings, prices        read from the environment once
"""
