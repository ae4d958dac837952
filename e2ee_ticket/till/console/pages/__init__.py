"""What the console's pages look like: functions from what there is to markup, without HTTP."""
