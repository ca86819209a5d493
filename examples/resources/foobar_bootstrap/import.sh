# <name>, or <name>/<incarnation>; it is derived from the seed again.
terraform import foobar_bootstrap.web1 web1/2
