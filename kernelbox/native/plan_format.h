/* The wire format with what it needs around it. */
#pragma once

#include <stdint.h>

#include "plan.h"
