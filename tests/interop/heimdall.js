// What MITRE's own parser makes of files: for each, for each control, its status, and whether it is waived.
const { readFileSync } = require("fs");
const { createRequire } = require("module");

const { convertFile, contextualizeEvaluation } = createRequire(`${process.cwd()}/`)("inspecjs");
const found = process.argv.slice(2).map((file) => {
  const evaluation = contextualizeEvaluation(convertFile(readFileSync(file, "utf8"))["1_0_ExecJson"]);
  return evaluation.contains.flatMap((profile) =>
    profile.contains.map((control) => ({
      id: control.data.id,
      status: control.hdf.status,
      waived: control.hdf.waived,
      nist: control.hdf.canonized_nist({}),
      message: control.hdf.message,
    })),
  );
});
console.log(JSON.stringify(found));
