/* The aws-cni binary: CPython without importlib, running the plugin's code that build.py put into frozen.h.
 *
 * What an ordinary interpreter does at start (importlib, encodings, site, signal handlers, sys.std*) is left out; it is
 * most of its start-up time. Modules come from two tables: C modules (native_modules) and marshalled code (frozen.h).
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <marshal.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "frozen.h" /* static const struct { const char *name; const unsigned char *code; int size; } frozen_modules[] */

/* ---- tables that libpython would otherwise bring along: no stdlib, no built-in modules but those below ---- */

PyObject *PyInit_posix(void);
PyObject *PyInit__socket(void);
PyObject *PyInit_time(void);

static const struct {
    const char *name;
    PyObject *(*init)(void);
} native_modules[] = {
    {"posix", PyInit_posix},
    {"_socket", PyInit__socket},
    {"time", PyInit_time},
};

struct _inittab _PyImport_Inittab[] = {{"sys", NULL}, {"builtins", NULL}, {NULL, NULL}};
static const struct _frozen no_modules[] = {{NULL, NULL, 0, 0, NULL}};
const struct _frozen *_PyImport_FrozenBootstrap = no_modules;
const struct _frozen *_PyImport_FrozenStdlib = no_modules;
const struct _frozen *_PyImport_FrozenTest = no_modules;
const struct _frozen *PyImport_FrozenModules = NULL;
struct _module_alias {
    const char *name;
    const char *orig;
};
static const struct _module_alias no_aliases[] = {{NULL, NULL}};
const struct _module_alias *_PyImport_FrozenAliases = no_aliases;

/* The stdlib's code objects ("deepfreeze") would be initialised at every start, though nothing here uses them. */
int _Py_Deepfreeze_Init(void) { return 0; }
void _Py_Deepfreeze_Fini(void) {}
/* sys.path is not computed: nothing is imported from files. */
PyStatus _PyConfig_InitPathConfig(PyConfig *config, int compute) {
    (void)config;
    (void)compute;
    return PyStatus_Ok();
}

/* ---- import ---- */

static PyObject *init_native(PyObject *name, PyObject *(*init)(void)) {
    PyObject *made = init();
    if (made == NULL || !PyObject_TypeCheck(made, &PyModuleDef_Type)) {
        return made; /* single-phase initialisation: this is the module */
    }
    PyObject *spec = PyModule_NewObject(name); /* any object with the attribute "name" will do */
    if (spec == NULL || PyObject_SetAttrString(spec, "name", name) < 0) {
        return NULL;
    }
    PyObject *module = PyModule_FromDefAndSpec((PyModuleDef *)made, spec);
    Py_DECREF(spec);
    if (module != NULL && PyModule_ExecDef(module, (PyModuleDef *)made) < 0) {
        Py_CLEAR(module);
    }
    return module;
}

static PyObject *run_frozen(PyObject *name, const unsigned char *code, int size) {
    PyObject *program = PyMarshal_ReadObjectFromString((const char *)code, size);
    PyObject *module = program ? PyModule_NewObject(name) : NULL;
    if (module == NULL || PyObject_SetItem(PyImport_GetModuleDict(), name, module) < 0) {
        return NULL;
    }
    PyObject *globals = PyModule_GetDict(module);
    if (PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins()) < 0) {
        return NULL;
    }
    PyObject *done = PyEval_EvalCode(program, globals, globals);
    Py_DECREF(program);
    if (done == NULL) {
        return NULL;
    }
    Py_DECREF(done);
    return module;
}

/* builtins.__import__: only absolute names of the two tables; "import a.b" without "from" is not supported. */
static PyObject *import_module(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    (void)self;
    if (count < 1 || !PyUnicode_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "__import__ needs a name");
        return NULL;
    }
    PyObject *name = args[0];
    PyObject *loaded = PyDict_GetItemWithError(PyImport_GetModuleDict(), name);
    if (loaded != NULL || PyErr_Occurred()) {
        Py_XINCREF(loaded);
        return loaded;
    }
    const char *text = PyUnicode_AsUTF8(name);
    if (text == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(frozen_modules); i++) {
        if (strcmp(text, frozen_modules[i].name) == 0) {
            return run_frozen(name, frozen_modules[i].code, frozen_modules[i].size);
        }
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(native_modules); i++) {
        if (strcmp(text, native_modules[i].name) == 0) {
            PyObject *module = init_native(name, native_modules[i].init);
            if (module != NULL && PyObject_SetItem(PyImport_GetModuleDict(), name, module) < 0) {
                Py_CLEAR(module);
            }
            return module;
        }
    }
    PyErr_Format(PyExc_ImportError, "%U is not in this binary", name);
    return NULL;
}

static PyMethodDef import_method = {"__import__", (PyCFunction)(void (*)(void))import_module, METH_FASTCALL, NULL};

/* ---- start ---- */

static int start_interpreter(void) {
    PyPreConfig pre;
    PyPreConfig_InitIsolatedConfig(&pre);
    pre.utf8_mode = 1;
    pre.configure_locale = 0;
    if (PyStatus_Exception(Py_PreInitialize(&pre))) {
        return -1;
    }
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config._install_importlib = 0;
    config.site_import = 0;
    config.write_bytecode = 0;
    config.pathconfig_warnings = 0;
    config.use_hash_seed = 1; /* no random seed to fetch; keys come from the node's own root */
    config.hash_seed = 0;
    config.module_search_paths_set = 1;
    if (PyStatus_Exception(Py_InitializeFromConfig(&config))) {
        return -1;
    }
    PyGC_Disable(); /* the process ends before a collection would pay */
    PyObject *import = PyCFunction_New(&import_method, NULL);
    return import == NULL ? -1 : PyDict_SetItemString(PyEval_GetBuiltins(), "__import__", import);
}

/* vpccni_plugin.main.run(posix.environ, started_unix_ns); the process's exit status, -1 on a Python exception. */
static int run_plugin(long long started_unix_ns) {
    PyObject *main_name = PyUnicode_FromString("vpccni_plugin.main");
    PyObject *posix_name = PyUnicode_FromString("posix");
    PyObject *main_module = import_module(NULL, &main_name, 1);
    PyObject *posix_module = main_module ? import_module(NULL, &posix_name, 1) : NULL;
    PyObject *environ = posix_module ? PyObject_GetAttrString(posix_module, "environ") : NULL;
    PyObject *status = environ ? PyObject_CallMethod(main_module, "run", "OL", environ, started_unix_ns) : NULL;
    return status ? (int)PyLong_AsLong(status) : -1;
}

static int fail(const char *details) {
    static const char head[] = "{\"cniVersion\":\"1.1.0\",\"code\":101,\"msg\":\"INTERNAL: the plugin's interpreter failed\",\"details\":\"";
    static const char tail[] = "\"}\n";
    if (write(1, head, sizeof head - 1) < 0 || write(1, details, strlen(details)) < 0 || write(1, tail, sizeof tail - 1) < 0) {
        return 1;
    }
    return 1;
}

int main(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error to report, not a death */
    if (start_interpreter() < 0) {
        _exit(fail("it did not start"));
    }
    int status = run_plugin(now.tv_sec * 1000000000LL + now.tv_nsec);
    if (status < 0) {
        PyObject *type = PyErr_Occurred();
        if (type == NULL || !PyErr_GivenExceptionMatches(type, PyExc_SystemExit)) {
            status = fail(type ? ((PyTypeObject *)type)->tp_name : "no status");
        } else {
            status = 1;
        }
    }
    _exit(status); /* nothing is buffered, and tearing the interpreter down would only take time */
}
