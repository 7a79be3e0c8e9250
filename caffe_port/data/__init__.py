"""Data sources: LMDB, LevelDB, HDF5, image lists, window files; Datum, the transformer and the prefetcher.

Only this room touches lmdb and plyvel. The layer classes that serve these sources are in ``caffe_port/layers/data``.
"""
