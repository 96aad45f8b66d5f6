"""docs/api.md, generated from the CRD, which is generated from the types in modelinfer_controller/api."""
