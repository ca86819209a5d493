package tfutil

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// hostPattern is what a DNS name looks like, by RFC 1123.
var hostPattern = regexp.MustCompile(`^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)*[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.?$`)

// SplitAddress reads where an agent is reached: "10.0.0.1", "web1.example:9443",
// "2001:db8::1", "[2001:db8::1]:9443". The port is [api.DefaultPort] where none is given.
func SplitAddress(text string) (host string, port int, err error) {
	if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")); err == nil {
		return ip.String(), api.DefaultPort, nil
	}
	if strings.Contains(text, "://") {
		return "", 0, fmt.Errorf("%q is a URL: write only the host, or \"host:port\"", text)
	}
	host, port = text, api.DefaultPort
	if strings.Contains(text, ":") {
		var digits string
		if host, digits, err = net.SplitHostPort(text); err != nil {
			return "", 0, fmt.Errorf("%q is not an address: write \"host\", \"host:port\" or \"[2001:db8::1]:port\"", text)
		}
		if port, err = strconv.Atoi(digits); err != nil || port < 1 || port > 65535 {
			return "", 0, fmt.Errorf("%q has the port %q: a port is a number from 1 to 65535", text, digits)
		}
	}
	if _, err := netip.ParseAddr(host); err != nil && !hostPattern.MatchString(host) {
		return "", 0, fmt.Errorf("%q is not a host: write a host name or an IP address, without a scheme or path", text)
	}
	return host, port, nil
}

// ImportID is what "terraform import" is given: "<machine>@<address>/<name>"
// for a component, "<machine>@<address>" for a machine.
type ImportID struct {
	Machine, Address, Name string
}

// ParseImportID reads the import id of a component.
func ParseImportID(text string) (ImportID, error) {
	slash := strings.LastIndexByte(text, '/')
	if slash < 0 || !strings.Contains(text[:slash], "@") {
		return ImportID{}, fmt.Errorf("%q is not <machine>@<address>/<name>, such as \"web1@10.0.0.1/shop\"", text)
	}
	id, err := ParseMachineImportID(text[:slash])
	if err != nil {
		return ImportID{}, err
	}
	id.Name = text[slash+1:]
	if err := api.CheckName(id.Name); err != nil {
		return ImportID{}, fmt.Errorf("the name after the slash: %w", err)
	}
	return id, nil
}

// ParseMachineImportID reads the import id of a machine.
func ParseMachineImportID(text string) (ImportID, error) {
	machine, address, found := strings.Cut(text, "@")
	if !found {
		return ImportID{}, fmt.Errorf("%q is not <machine>@<address>, such as \"web1@10.0.0.1\"", text)
	}
	if err := api.CheckName(machine); err != nil {
		return ImportID{}, fmt.Errorf("the machine before the @: %w", err)
	}
	if _, _, err := SplitAddress(address); err != nil {
		return ImportID{}, fmt.Errorf("the address after the @: %w", err)
	}
	return ImportID{Machine: machine, Address: address}, nil
}

// String returns the id as it is given to "terraform import".
func (id ImportID) String() string {
	text := id.Machine + "@" + id.Address
	if id.Name != "" {
		text += "/" + id.Name
	}
	return text
}
