package lab

import (
	"strings"
	"testing"
)

func machine(t *testing.T, text string) Machine {
	t.Helper()
	m, err := ParseMachine(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParseMachineReadsNameAndAddresses(t *testing.T) {
	for _, text := range []string{
		"lb1=203.0.113.10,10.0.0.10",
		"web1=10.0.0.1",
		"a-2=10.0.0.254,203.0.113.1",
	} {
		if got := machine(t, text).String(); got != text {
			t.Errorf("ParseMachine(%q) = %s", text, got)
		}
	}
}

func TestParseMachineSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"web1":                            "want NAME=ADDRESS",
		"=10.0.0.1":                       `machine name ""`,
		"Web=10.0.0.1":                    `machine name "Web"`,
		"a.b=10.0.0.1":                    `machine name "a.b"`,
		"elevenchars=10.0.0.1":            "at most 10",
		"client=10.0.0.1":                 "belongs to the lab itself",
		"web1=":                           `"" is not an IP address`,
		"web1=ten":                        `"ten" is not an IP address`,
		"web1=10.0.1.1":                   "outside the lab",
		"web1=2001:db8::1":                "outside the lab",
		"web1=10.0.0.0":                   "broadcast",
		"web1=203.0.113.255":              "broadcast",
		"web1=10.0.0.250":                 "belongs to the lab itself",
		"web1=203.0.113.200":              "belongs to the lab itself",
		"web1=10.0.0.1,10.0.0.2":          "both addresses are on the private network",
		"w=10.0.0.1,203.0.113.1,10.0.0.2": "3 addresses",
		"web1=10.0.0.1,":                  `"" is not an IP address`,
		"web1=10.0.0.1%eth0":              "not an IP address",
		"web1=::ffff:10.0.0.1":            "outside the lab",
		"web1=10.0.0.1=10.0.0.2":          "not an IP address",
	} {
		_, err := ParseMachine(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseMachine(%q): error %v, want one with %q", text, err, want)
		}
	}
}

func TestParseMachinesRefusesWhatIsUsedTwice(t *testing.T) {
	for _, tc := range []struct {
		texts []string
		want  string
	}{
		{[]string{"web1=10.0.0.1", "web1=10.0.0.2"}, "machine web1 is given twice"},
		{[]string{"web1=10.0.0.1", "web2=10.0.0.1"}, "address 10.0.0.1 is given to both web1 and web2"},
	} {
		if _, err := ParseMachines(tc.texts); err == nil || err.Error() != tc.want {
			t.Errorf("ParseMachines(%q): error %v, want %q", tc.texts, err, tc.want)
		}
	}
}

func FuzzParseMachine(f *testing.F) {
	f.Add("lb1=203.0.113.10,10.0.0.10")
	f.Add("web1=10.0.0.1")
	f.Add("x=,")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMachine(text)
		if err != nil {
			return
		}
		again, err := ParseMachine(m.String())
		if err != nil || again.String() != m.String() {
			t.Errorf("%q was read as %s, which is read as %s (%v)", text, m, again, err)
		}
	})
}
