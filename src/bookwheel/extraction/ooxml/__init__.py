"""What DOCX, PPTX and XLSX have in common."""
