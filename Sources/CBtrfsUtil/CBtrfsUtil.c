#include "CBtrfsUtil.h"
