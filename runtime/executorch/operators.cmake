# Our operators for ExecuTorch (edge_sdk/_executorch_operators.so), only where ExecuTorch is
# installed in the environment that this package is being installed into. Without them
# everything else works, and a program that needs them says so when it is loaded.
#
# pip builds in an environment of its own, which it lays over Python's paths by PYTHONPATH:
# -I makes Python ignore that, so it sees the packages of the environment itself. A builder
# whose isolation is a real virtual environment has to be told:
#   pip install . --config-settings=cmake.define.EDGE_EXECUTORCH=.../site-packages/executorch
if(NOT CMAKE_SYSTEM_NAME STREQUAL Linux) # elsewhere a Python extension can not be linked against
  return()
endif()

set(EDGE_EXECUTORCH "" CACHE PATH "The folder of the installed package executorch")
set(EDGE_FIND_EXECUTORCH [[
import os, sys
from importlib.metadata import distributions
path = [os.path.dirname(sys.argv[1])] if sys.argv[1] else sys.path
for found in distributions(name="executorch", path=path):
    print(found.locate_file("executorch"), found.version, sep=";", end="")
    break
]])
execute_process(
  COMMAND ${Python_EXECUTABLE} -I -c "${EDGE_FIND_EXECUTORCH}" "${EDGE_EXECUTORCH}"
  OUTPUT_VARIABLE EDGE_FOUND ERROR_QUIET)
if(NOT EDGE_FOUND)
  message(STATUS "ExecuTorch is not installed: building without operators for it")
  return()
endif()
list(GET EDGE_FOUND 0 EDGE_EXECUTORCH_HOME)
list(GET EDGE_FOUND 1 EDGE_EXECUTORCH_VERSION)

set(EDGE_EXECUTORCH_LIBRARY
    ${EDGE_EXECUTORCH_HOME}/extension/pybindings/_portable_lib.${Python_SOABI}.so)
set(EDGE_EXECUTORCH_INCLUDE ${EDGE_EXECUTORCH_HOME}/include)
if(NOT EXISTS ${EDGE_EXECUTORCH_LIBRARY}
   OR NOT EXISTS ${EDGE_EXECUTORCH_INCLUDE}/executorch/runtime/kernel/kernel_includes.h)
  message(STATUS "ExecuTorch ${EDGE_EXECUTORCH_VERSION} has no runtime for this Python, or no "
                 "headers: building without operators for it")
  return()
endif()
message(STATUS "Operators for ExecuTorch ${EDGE_EXECUTORCH_VERSION} in ${EDGE_EXECUTORCH_HOME}")

add_library(_executorch_operators MODULE executorch/edge_operators.cpp)
set_target_properties(_executorch_operators PROPERTIES
  PREFIX "" CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON CXX_VISIBILITY_PRESET hidden)
target_include_directories(_executorch_operators SYSTEM PRIVATE
  ${EDGE_EXECUTORCH_INCLUDE}
  ${EDGE_EXECUTORCH_INCLUDE}/executorch/runtime/core/portable_type/c10)
target_compile_definitions(_executorch_operators PRIVATE
  C10_USING_CUSTOM_GENERATED_MACROS EDGE_EXECUTORCH_VERSION="${EDGE_EXECUTORCH_VERSION}")
target_compile_options(_executorch_operators PRIVATE -Wall -Wextra)
# By its name alone: ExecuTorch is imported before this library is loaded, so the running copy
# is found again wherever it lies. All symbols are looked up on loading, none later.
target_link_libraries(_executorch_operators PRIVATE edge_runtime ${EDGE_EXECUTORCH_LIBRARY}
                      -Wl,--exclude-libs,ALL -Wl,-z,now)
set_target_properties(_executorch_operators PROPERTIES SKIP_BUILD_RPATH ON INSTALL_RPATH "")
install(TARGETS _executorch_operators LIBRARY DESTINATION edge_sdk)
