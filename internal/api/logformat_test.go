package api

import (
	"strings"
	"testing"
)

func TestLogFormatHoldsNoExpressionThatOpensFiles(t *testing.T) {
	for format, wrong := range map[string]string{
		"":                     "",
		`%ci "it's" # \ $HOME`: "",
		`%{+json}o %(time)[date(0,ms),ms_utime("%Y-%m-%dT%H:%M:%S.%3NZ")] %(request_id)ID`: "",
		`%[capture.req.hdr(0),lower] %HM`:                                                  "",
		`{"list":[1,2]} %ST`:                                                               "",
		`%%[src,map(/etc/passwd)]`:                                                         "", // a percent sign, and text
		`%{+Q}[var(txn.x)] %[str("a,b (c)")]`:                                              "",
		`%zz %`:                                                                            "", // HAProxy's own business
		`%[src,map(/dev/zero)]`:                                                            `the converter "map" is not allowed`,
		`%[src,map_str_int(/etc/x)]`:                                                       `the converter "map_str_int" is not allowed`,
		`%ci %{+Q}[src,lower,map_reg(/etc/x)]`:                                             `the converter "map_reg" is not allowed`,
		`%(a){+Q}[src,jwt_verify("RS256",/k)]`:                                             `the converter "jwt_verify" is not allowed`,
		`%{+Q}(a)[src,map(/x)]`:                                                            `the converter "map" is not allowed`,
		`%(a(b)[src,map(/x)]`:                                                              `the converter "map" is not allowed`,
		`%{a{b}[src,map(/x)]`:                                                              `the converter "map" is not allowed`,
		`%%%[src,map(/x)]`:                                                                 `the converter "map" is not allowed`,
		`%[env(HOME)]`:                                                                     `the sample fetch "env" is not allowed`,
		`%[ssl_fc_session_key,hex]`:                                                        `the sample fetch "ssl_fc_session_key" is not allowed`,
		`%[fc_rtx]`:                                                                        `the nearest that are allowed: fc_rtt, fc_dst, fc_err. The documentation of log_format lists all`,
		`%[lua.x]`:                                                                         `the sample fetch "lua.x" is not allowed`,
		`%[str(a\),map(/etc/x)]`:                                                           "cannot be read",
		`%[str('),map(/etc/x)]`:                                                            "cannot be read",
		`%[str("a\"),map(/etc/x)]`:                                                         "cannot be read",
		`%[ src , map(/etc/x) ]`:                                                           "cannot be read",
		`%[src`:                                                                            "cannot be read",
		`%[]`:                                                                              "cannot be read",
	} {
		got := checkLogFormat(format)
		if wrong == "" && got != "" || !strings.Contains(got, wrong) {
			t.Errorf("%s gave %q, want %q", format, got, wrong)
		}
	}
}

func FuzzLogFormat(f *testing.F) {
	f.Add(`%(a){+Q}[src,map(/x)]%%[`)
	f.Fuzz(func(t *testing.T, format string) {
		if checkLogFormat(format) != "" {
			return
		}
		// Whatever HAProxy takes for an expression begins so.
		for _, open := range []string{"%[src,map(", ")[src,map(", "}[src,map("} {
			before, _, found := strings.Cut(strings.ReplaceAll(format, "%%", ""), open)
			if found && strings.HasSuffix(before, "%") {
				t.Errorf("%q was admitted", format)
			}
		}
	})
}

func TestALogFormatThatIsTooLongIsNotRead(t *testing.T) {
	b := testLoadBalancer()
	editFrontend(&b, "www", func(f *Frontend) { f.LogFormat = "%[env(HOME)]" + strings.Repeat("x", MaxEngineText) })
	if v := b.Validate(); len(v) != 1 || !strings.Contains(v[0].Detail, "bytes; at most") {
		t.Errorf("%+v", v)
	}
}
