/* What every C file of the extension and of the monitor includes first. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"

#ifndef KB_VERSION
#define KB_VERSION "unknown"
#endif
