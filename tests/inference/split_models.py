"""Writes a model in parts, as llama.cpp's gguf-split does: the first says what the model is, all hold weights."""

from pathlib import Path


def split(whole: Path, folder: Path, stem: str, parts: int = 3) -> list[Path]:
    """Split the model `whole` into NAME-00001-of-0000N.gguf in `folder`; returns the files."""
    import gguf

    reader = gguf.GGUFReader(whole)
    tensors = list(reader.tensors)
    shares = [tensors[number::parts] for number in range(parts)]
    paths = [folder / f"{stem}-{number + 1:05}-of-{parts:05}.gguf" for number in range(parts)]
    architecture = str(reader.fields["general.architecture"].contents())
    for number, (path, share) in enumerate(zip(paths, shares, strict=True)):
        writer = gguf.GGUFWriter(path, architecture) if number == 0 else gguf.GGUFWriter(path, "")
        writer.kv_data[0].clear()
        if number == 0:
            for field in reader.fields.values():
                if not field.name.startswith("GGUF."):
                    kind, element = field.types[0], field.types[-1] if len(field.types) > 1 else None
                    writer.add_key_value(field.name, field.contents(), kind, sub_type=element)
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", parts)
        writer.add_int32("split.tensors.count", len(tensors))
        for tensor in share:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return paths
