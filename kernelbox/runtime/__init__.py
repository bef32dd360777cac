"""A running container: from an OCI configuration to a plan of steps, to the monitor, to an exit record.

* `steps`     what the kernel is asked to do, one small frozen value per step
* `plan`      steps in order, their encoding for the launcher, their description for people
* `compile`   OCI configuration + root file system -> plan
* `monitor`   the process that runs plans: started when needed, reached by a socket
* `launch`    one plan sent, its output moved, its trace and exit record read
"""
