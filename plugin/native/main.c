/* The aws-cni binary: CPython, started once when it was built.
 *
 * build.py links this program, runs it once ("take the snapshot": the interpreter initialises itself and imports the
 * plugin), and puts the bytes of the section .pystate back into the file. Every later run finds the interpreter as it was
 * then, as a child finds it after fork, and goes straight to the plugin's code. docs/plugin.md says why and what may not
 * be in the snapshot.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "native.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
extern char pystate_start[], pystate_end[]; /* state.ld */

static int snapshot_taken;
static PyObject *plugin_run; /* vpccni_plugin.main.run */

/* ---- at build time ---- */

static int start_interpreter(void) {
    PyObjectArenaAllocator arenas = {NULL, heap_arena, heap_arena_free};
    PyObject_SetArenaAllocator(&arenas);
    PyPreConfig pre;
    PyPreConfig_InitIsolatedConfig(&pre);
    pre.utf8_mode = 1;
    pre.configure_locale = 0;
    if (PyStatus_Exception(Py_PreInitialize(&pre))) {
        return -1;
    }
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config._install_importlib = 0; /* no encodings, no sys.std*, no site: modules.c is all the import there is */
    config.site_import = 0;
    config.write_bytecode = 0;
    config.pathconfig_warnings = 0;
    config.use_hash_seed = 1; /* a snapshot has one seed for all runs in any case */
    config.hash_seed = 0;
    config.module_search_paths_set = 1;
    if (PyStatus_Exception(Py_InitializeFromConfig(&config))) {
        return -1;
    }
    PyGC_Collect();
    PyGC_Disable(); /* the process ends before a collection would pay */
    return modules_install();
}

/* Writes .pystate to stdout. */
static int take_snapshot(void) {
    if (start_interpreter() < 0 || modules_load() < 0) {
        PyErr_Print();
        return 1;
    }
    PyObject *module = PyImport_GetModule(PyUnicode_InternFromString("vpccni_plugin.main"));
    plugin_run = module ? PyObject_GetAttrString(module, "run") : NULL;
    if (plugin_run == NULL || !heap_is_in_state()) {
        return 2;
    }
    PyThreadState_Get()->native_thread_id = 0; /* made anew in every run; so that two builds are equal */
    snapshot_taken = 1;
    for (char *at = pystate_start; at < pystate_end;) {
        ssize_t written = write(STDOUT_FILENO, at, (size_t)(pystate_end - at));
        if (written <= 0) {
            return 3;
        }
        at += written;
    }
    return 0;
}

/* ---- in every run ---- */

/* As after fork: the memory is another process's, locks and thread identities are to be made anew. */
static void adopt_interpreter(void) {
    PyOS_AfterFork_Child();
    PyThreadState_Get()->thread_id = PyThread_get_thread_ident();
}

static PyObject *environment(void) {
    PyObject *result = PyDict_New();
    for (char **entry = environ; result != NULL && entry != NULL && *entry != NULL; entry++) {
        const char *separator = strchr(*entry, '=');
        if (separator == NULL) {
            continue;
        }
        PyObject *key = PyBytes_FromStringAndSize(*entry, separator - *entry);
        PyObject *value = PyBytes_FromString(separator + 1);
        if (key == NULL || value == NULL || PyDict_SetItem(result, key, value) < 0) {
            return NULL;
        }
        Py_DECREF(key);
        Py_DECREF(value);
    }
    return result;
}

/* An answer for the runtime when Python cannot give one (out of memory). */
static int fail(void) {
    static const char answer[] = "{\"cniVersion\":\"1.1.0\",\"code\":101,\"msg\":\"INTERNAL: the plugin's interpreter failed\"}\n";
    ssize_t ignored = write(1, answer, sizeof answer - 1);
    (void)ignored;
    return 1;
}

static int run(long long started_unix_ns) {
    adopt_interpreter();
    PyObject *variables = environment();
    PyObject *result = variables ? PyObject_CallFunction(plugin_run, "OL", variables, started_unix_ns) : NULL;
    if (result != NULL) {
        return (int)PyLong_AsLong(result);
    }
    /* SystemExit: stdout is gone, there is nobody to tell. */
    return PyErr_ExceptionMatches(PyExc_SystemExit) ? 1 : fail();
}

int main(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!snapshot_taken) {
        return take_snapshot();
    }
    signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error to report, not a death */
    /* Nothing is buffered, and tearing the interpreter down would only take time. */
    _exit(run(now.tv_sec * 1000000000LL + now.tv_nsec));
}
