#!/usr/bin/env python3
"""Answers as another scheduler's command would, from what Slurm says: the formats are those of test/fixtures/schedulers."""

import datetime
import json
import os
import subprocess
import sys

FIELDS = ["JobID", "UserName", "State", "SubmitTime", "StartTime", "EndTime", "BatchHost"]
LSF = {"RUNNING": "RUN", "PENDING": "PEND", "SUSPENDED": "USUSP", "NODE_FAIL": "UNKWN", "COMPLETING": "RUN", "COMPLETED": "DONE"}
PBS = {"RUNNING": "R", "PENDING": "Q", "SUSPENDED": "S", "NODE_FAIL": "R", "COMPLETING": "E"}
SGE = {"RUNNING": "r", "PENDING": "qw", "SUSPENDED": "s", "NODE_FAIL": "dr", "COMPLETING": "r"}


def jobs():
    columns = ",".join(f"{field}:|" for field in FIELDS)
    command = ["/usr/bin/squeue", "--noheader", "--array", "--states=all", f"--Format={columns}"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    for line in lines:
        yield dict(zip(FIELDS, (value.strip() for value in line.split("|"))))


def time(text, form):
    try:
        return datetime.datetime.fromisoformat(text).strftime(form)
    except ValueError:
        return ""


def lsf_rows():
    for job in jobs():
        form = "%b %d %H:%M"
        yield {
            "JOBID": job["JobID"],
            "JOBINDEX": "0",
            "STAT": LSF.get(job["State"], "EXIT"),
            "USER": job["UserName"],
            "EXEC_HOST": f"4*{job['BatchHost']}" if job["BatchHost"] != "n/a" else "",
            "SUBMIT_TIME": time(job["SubmitTime"], form),
            "START_TIME": time(job["StartTime"], form),
            "FINISH_TIME": time(job["EndTime"], form + " L"),
        }


def lsf():
    rows = list(lsf_rows())
    print(json.dumps({"COMMAND": "bjobs", "JOBS": len(rows), "RECORDS": rows}, indent=2))


def lsf_9():
    if "-json" in sys.argv:
        print("bjobs: illegal option -- json", file=sys.stderr)
        sys.exit(255)
    for row in lsf_rows():
        print("|".join(value or "-" for value in row.values()))


def pbs():
    form = "%a %b %d %H:%M:%S %Y"
    listed = {
        f"{job['JobID']}.login": {
            "Job_Owner": f"{job['UserName']}@login",
            "job_state": PBS.get(job["State"], "F"),
            "exec_host": f"{job['BatchHost']}/0*4",
            "qtime": time(job["SubmitTime"], form),
            "stime": time(job["StartTime"], form),
            "obittime": time(job["EndTime"], form),
        }
        for job in jobs()
    }
    wanted = [word for word in sys.argv[2:] if word[0].isdigit()]
    shown = {name: job for name, job in listed.items() if not wanted or name in wanted}
    print(json.dumps({"timestamp": 0, "pbs_version": "20.0.1", "pbs_server": "login", "Jobs": shown}, indent=4))
    unknown = [name for name in wanted if name not in listed]
    for name in unknown:
        print(f"qstat: Unknown Job Id {name}", file=sys.stderr)
    sys.exit(153 if unknown else 0)


def sge():
    print("<?xml version='1.0'?>\n<job_info>\n  <queue_info>")
    for job in jobs():
        state = SGE.get(job["State"])
        if state is None:
            continue
        print(f"""    <job_list state="running">
      <JB_job_number>{job['JobID']}</JB_job_number>
      <JB_owner>{job['UserName']}</JB_owner>
      <state>{state}</state>
      <JAT_start_time>{job['StartTime']}</JAT_start_time>
      <queue_name>all.q@{job['BatchHost']}</queue_name>
      <slots>1</slots>
    </job_list>""")
    print("  </queue_info>\n  <job_info>\n  </job_info>\n</job_info>")


{"lsf": lsf, "lsf-9": lsf_9, "pbs": pbs, "sge": sge}[sys.argv[1]]()
