package appserver

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	tfpath "github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// lacking shows what the command and the static directories name in vain of a
// release. What is on the machine, such as a program without a slash or with an
// absolute path, is its agent's to check.
func lacking(ctx context.Context, holds *artifact.Contents, source string, config tfsdk.Config) diag.Diagnostics {
	command, static := tfpath.Root("command"), tfpath.Root("static")
	var words types.List
	var directories types.Map
	diags := config.GetAttribute(ctx, command, &words)
	diags.Append(config.GetAttribute(ctx, static, &directories)...)
	if diags.HasError() {
		return diags
	}
	if elements := words.Elements(); len(elements) > 0 {
		if program, ok := elements[0].(types.String); ok {
			if title, detail := noProgram(holds, program.ValueString(), source); detail != "" {
				tfutil.Error(&diags, command.AtListIndex(0), title, "%s", detail)
			}
		}
	}
	for _, prefix := range slices.Sorted(maps.Keys(directories.Elements())) {
		at := static.AtMapKey(prefix).AtName("directory")
		var directory types.String
		if found := config.GetAttribute(ctx, at, &directory); found.HasError() {
			continue // the whole is not known yet
		}
		if detail := noDirectory(holds, directory.ValueString(), source); detail != "" {
			tfutil.Error(&diags, at, "The release lacks static files", "%s", detail)
		}
	}
	return diags
}

// noProgram says why a release has not a program that is one of it, "" if it
// has, or if that cannot be told.
func noProgram(holds *artifact.Contents, program, source string) (title, detail string) {
	if path.IsAbs(program) || !strings.Contains(program, "/") || slices.Contains(strings.Split(program, "/"), "..") {
		return "", "" // one of the machine, or none that is allowed
	}
	lack := holds.Program(program)
	if title = "The release lacks the program"; lack == artifact.LacksMode {
		title = "The program is not executable"
	}
	return title, lackText(lack, program, source, func() string {
		return nearest(program, holds.Programs(), "./", "the nearest programs in it: ", "no file in it is executable")
	})
}

// noDirectory says why nginx serves no files of a directory of a release, "" if
// it does, or if that cannot be told.
func noDirectory(holds *artifact.Contents, directory, source string) string {
	if directory == "" || path.IsAbs(directory) || slices.Contains(strings.Split(directory, "/"), "..") {
		return "" // not known, or none that is allowed
	}
	return lackText(holds.Directory(directory), directory, source, func() string {
		return nearest(directory, holds.Directories(), "", "the nearest directories in it: ", "there is no directory in it")
	})
}

// lackText says what is wrong with a path of a release, and what to do; offer
// names what may be meant.
func lackText(lack artifact.Lack, asked, source string, offer func() string) string {
	switch lack {
	case artifact.LacksEntry:
		return fmt.Sprintf("%q is not in the release %s; %s. Paths start in the release's top directory: correct the path, or pack what it names.", asked, source, offer())
	case artifact.LacksFile:
		return fmt.Sprintf("%q is a directory of the release %s; %s. Name the program itself.", asked, source, offer())
	case artifact.LacksMode:
		return fmt.Sprintf("%q is in the release %s and is not executable. Set its mode with chmod +x before the release is packed, or run it with its interpreter.", asked, source)
	case artifact.LacksDirectory:
		return fmt.Sprintf("%q is in the release %s and is not a directory. Name the directory that the files are in.", asked, source)
	case artifact.LacksOwnDirectory:
		return fmt.Sprintf("%q leads over a link in the release %s, and nginx follows no links in a release. Name the directory itself.", asked, source)
	case artifact.LacksNothing:
	}
	return ""
}

// maxCompared bounds the names that one is compared with.
const maxCompared = 5000

// nearest offers what a release has in place of a path: what is called the same
// in another directory, else what is spelled most like it.
func nearest(asked string, names []string, before, introduction, none string) string {
	asked = path.Clean(asked)
	same := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return path.Base(name) != path.Base(asked) })
	offered := same[:min(len(same), api.MaxNearest)]
	if len(offered) == 0 {
		offered = slices.Clone(api.Nearest(asked, names[:min(len(names), maxCompared)]))
	}
	if len(names) == 0 {
		return none
	}
	if len(offered) == 0 {
		offered, introduction = slices.Clone(names[:min(len(names), api.MaxNearest)]), "it has, among others, "
	}
	for i := range offered {
		offered[i] = before + offered[i]
	}
	return introduction + strings.Join(api.Quoted(offered), ", ")
}
