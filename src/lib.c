/* libsmack: all rooms in one shared library; what it shows is what the public headers mark with SM_EXPORT. */
#include <smack/error.h>
