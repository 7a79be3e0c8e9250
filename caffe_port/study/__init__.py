"""The study of Tajbakhsh et al. 2016 on a user's own data: how deep should a net be fine-tuned?

The protocol (arms, splits, training with stopping, the folder of a run) is shared; each application (``interfaces``,
``frames``) brings its loaders, its training patches and its measure of the test data.
"""
