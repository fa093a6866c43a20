#ifndef CQL_CONN_H
#define CQL_CONN_H

#include "cql/server_internal.h"

extern const struct net_protocol conn__protocol;

#endif
