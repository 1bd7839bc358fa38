#!/bin/sh
# Every demo host answers with its own name, whatever form of it is asked for.
echo @NAME@
