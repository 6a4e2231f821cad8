def summary(store):
    raise NotImplementedError


def every_parent_is_known(store):
    raise NotImplementedError
