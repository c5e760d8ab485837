/* import without importlib: C modules of CPython and the plugin's marshalled code (frozen.h, made by freeze.py). */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "native.h"

#include <marshal.h>
#include <string.h>

#include "frozen.h" /* frozen_modules[]: name, code, size */

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

/* Tables and functions that libpython would otherwise bring along with the whole standard library. The linker takes
 * these, and so leaves libpython's own (frozen.o, deepfreeze.o, config.o, getpath.o) out. */
struct _module_alias {
    const char *name;
    const char *orig;
};
static const struct _frozen no_modules[] = {{NULL, NULL, 0, 0, NULL}};
static const struct _module_alias no_aliases[] = {{NULL, NULL}};
struct _inittab _PyImport_Inittab[] = {{"sys", NULL}, {"builtins", NULL}, {NULL, NULL}};
const struct _frozen *_PyImport_FrozenBootstrap = no_modules;
const struct _frozen *_PyImport_FrozenStdlib = no_modules;
const struct _frozen *_PyImport_FrozenTest = no_modules;
const struct _frozen *PyImport_FrozenModules = NULL;
const struct _module_alias *_PyImport_FrozenAliases = no_aliases;

int _Py_Deepfreeze_Init(void);
void _Py_Deepfreeze_Fini(void);
PyStatus _PyConfig_InitPathConfig(PyConfig *config, int compute);

int _Py_Deepfreeze_Init(void) { return 0; }
void _Py_Deepfreeze_Fini(void) {}
PyStatus _PyConfig_InitPathConfig(PyConfig *config, int compute) {
    (void)config;
    (void)compute;
    return PyStatus_Ok(); /* no sys.path: nothing is imported from files */
}

static PyObject *load_native(PyObject *name, PyObject *(*init)(void)) {
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

static PyObject *load_frozen(PyObject *name, const unsigned char *code, int size) {
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

static PyObject *load(PyObject *name) {
    const char *text = PyUnicode_AsUTF8(name);
    if (text == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(frozen_modules); i++) {
        if (strcmp(text, frozen_modules[i].name) == 0) {
            return load_frozen(name, frozen_modules[i].code, frozen_modules[i].size);
        }
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(native_modules); i++) {
        if (strcmp(text, native_modules[i].name) == 0) {
            PyObject *module = load_native(name, native_modules[i].init);
            if (module != NULL && PyObject_SetItem(PyImport_GetModuleDict(), name, module) < 0) {
                Py_CLEAR(module);
            }
            return module;
        }
    }
    PyErr_Format(PyExc_ImportError, "%U is not in this binary", name);
    return NULL;
}

/* builtins.__import__. Names are absolute, and `import a.b` without `from` is not supported: it would be a's. */
static PyObject *import_module(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    (void)self;
    if (count < 1 || !PyUnicode_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "__import__ needs a name");
        return NULL;
    }
    PyObject *loaded = PyDict_GetItemWithError(PyImport_GetModuleDict(), args[0]);
    if (loaded == NULL && !PyErr_Occurred()) {
        return load(args[0]);
    }
    Py_XINCREF(loaded);
    return loaded;
}

static PyMethodDef import_method = {"__import__", (PyCFunction)(void (*)(void))import_module, METH_FASTCALL, NULL};

/* The codecs that are used (UTF-8, Latin-1) are C code, but a decoding error looks up its handler in the codec registry,
 * and the registry's first use imports this package to register the other codecs. An empty one will do. */
static int install_encodings(void) {
    PyObject *module = PyModule_New("encodings");
    return module ? PyDict_SetItemString(PyImport_GetModuleDict(), "encodings", module) : -1;
}

int modules_install(void) {
    PyObject *function = PyCFunction_New(&import_method, NULL);
    if (function == NULL || PyDict_SetItemString(PyEval_GetBuiltins(), "__import__", function) < 0) {
        return -1;
    }
    return install_encodings();
}

int modules_load(void) {
    for (size_t i = 0; i < Py_ARRAY_LENGTH(frozen_modules); i++) {
        PyObject *name = PyUnicode_InternFromString(frozen_modules[i].name);
        if (name == NULL || import_module(NULL, &name, 1) == NULL) {
            return -1;
        }
    }
    return 0;
}
