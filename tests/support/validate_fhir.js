// Prints as JSON what the npm package "fhir" finds wrong with an R4 resource: node validate_fhir.js NODE_MODULES FILE
const { Fhir } = require(`${process.argv[2]}/fhir`);
const resource = JSON.parse(require("fs").readFileSync(process.argv[3], "utf8"));
const found = new Fhir().validate(resource, { errorOnUnexpected: true });
console.log(JSON.stringify({ valid: found.valid, errors: found.messages.filter((one) => one.severity === "error") }));
