"""What people own blocks by, in Python: 300 pairs of GObjects that hold one another, and 300 objects of 7,000 bytes that an
extension has forgotten; with an argument 300 of 9,000 that are held. "ready"; at a line of input they are made: "made".
"""
import ctypes
import sys

gobject = ctypes.CDLL("libgobject-2.0.so.0")
for name in "g_object_new", "g_object_ref", "g_type_from_name":
    getattr(gobject, name).restype = ctypes.c_void_p
gobject.g_type_from_name.argtypes = [ctypes.c_char_p]
gobject.g_object_new.argtypes = [ctypes.c_size_t, ctypes.c_void_p]
gobject.g_object_ref.argtypes = [ctypes.c_void_p]
gobject.g_object_set_data.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
python = ctypes.pythonapi
print("ready", flush=True)
sys.stdin.readline()
kind = gobject.g_type_from_name(b"GObject")
for i in range(300):
    one, other = gobject.g_object_new(kind, None), gobject.g_object_new(kind, None)
    gobject.g_object_set_data(one, b"peer", gobject.g_object_ref(other))
    gobject.g_object_set_data(other, b"peer", gobject.g_object_ref(one))
for i in range(300):  # as an extension forgets a Py_DECREF
    python.Py_IncRef(ctypes.py_object(bytes(7000)))
kept = [bytes(9000) for i in range(300)] if len(sys.argv) > 1 else []
one = other = None
print("made", flush=True)
sys.stdin.readline()
