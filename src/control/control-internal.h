/* For the inside of the control room only. */
#pragma once

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "control/control.h"

/* The abstract name of a kernel; returns its length for bind(2) and connect(2). */
socklen_t control_address(pid_t kernel, struct sockaddr_un *ret_address);
