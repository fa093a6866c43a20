#!/bin/sh
# Listing 05: a job of a program that holds several, submitted to the platform.
#
#   spark-submit --class io.datastrophic.SparkJob /etc/jobs/spark-jobs.jar
#
# The program runs as a process of its own; its output, its log (on stderr) and its exit status are those of `smack submit`: 0, 1 when
# the job failed (one line says why), 2 when it was called wrongly. `smack submit --explain` shows the stages instead of running them.
#
#   PATH=build:build/examples:$PATH examples/05-submit.sh

exec smack submit --class campaign-report jobs since="${1:-2019-11-30}"
