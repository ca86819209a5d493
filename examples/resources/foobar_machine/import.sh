# <machine>@<address of its agent>
terraform import foobar_machine.web1 web1@10.0.0.1
