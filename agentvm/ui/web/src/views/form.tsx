// A form by JSON Schema: fields for simple types, JSON text for all others. It gives values, checked as far as the schema says.
import { useSignal, type Signal } from "@preact/signals";
import type { Json, Schema } from "../types";
import { Segments } from "./parts";

/** What stands in a form: texts as typed, by name; a missing one is left out. */
export type Draft = Record<string, string | boolean | undefined>;

export interface Field {
  name: string;
  schema: Schema;
  required: boolean;
  kind: "text" | "number" | "integer" | "boolean" | "choice" | "json";
}

export function resolved(schema: Schema, root: Schema): Schema {
  let found = schema;
  for (let n = 0; found.$ref && n < 8; n++) {
    const name = found.$ref.split("/").at(-1)!;
    const target = root.$defs?.[name];
    if (!target) break;
    found = { ...target, ...Object.fromEntries(Object.entries(found).filter(([key]) => key !== "$ref")) };
  }
  const some = found.anyOf?.filter((each) => each.type !== "null");
  if (found.anyOf && some?.length === 1) return { ...found, ...resolved(some[0]!, root), anyOf: undefined as never };
  return found;
}

export function fieldOf(name: string, schema: Schema, root: Schema, required: boolean): Field {
  const found = resolved(schema, root);
  return { name, schema: found, required, kind: kindOf(found) };
}

function kindOf(schema: Schema): Field["kind"] {
  if (schema.enum?.every((each) => typeof each === "string")) return "choice";
  if (schema.type === "string") return "text";
  if (schema.type === "integer" || schema.type === "number" || schema.type === "boolean") return schema.type;
  return "json";
}

/** The fields of an object; null if it is not one of plain fields. */
export function fieldsOf(root: Schema): Field[] | null {
  const schema = resolved(root, root);
  if (schema.type !== "object" || !schema.properties) return null;
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties).map(([name, each]) => fieldOf(name, each, root, required.has(name)));
}

export function start(field: Field, given?: Json): string | boolean | undefined {
  const value = given ?? field.schema.default;
  if (value === undefined || value === null) return undefined;
  if (field.kind === "boolean") return Boolean(value);
  return typeof value === "string" ? value : JSON.stringify(value, null, field.kind === "json" ? 2 : 0);
}

/** The value that was typed; throws with a message for people. */
export function read(field: Field, typed: string | boolean | undefined): Json | undefined {
  if (typed === undefined || (typed === "" && field.kind !== "text")) {
    if (field.required) throw new Error("A value is needed.");
    return undefined;
  }
  if (typeof typed === "boolean") return typed;
  switch (field.kind) {
    case "text":
      if (field.required && field.schema.minLength && typed.length < field.schema.minLength) throw new Error(`At least ${field.schema.minLength} characters are needed.`);
      return typed;
    case "number":
    case "integer": {
      const found = Number(typed);
      if (!Number.isFinite(found)) throw new Error("This is not a number.");
      if (field.kind === "integer" && !Number.isInteger(found)) throw new Error("A whole number is needed.");
      if (field.schema.minimum !== undefined && found < field.schema.minimum) throw new Error(`At least ${field.schema.minimum}.`);
      if (field.schema.maximum !== undefined && found > field.schema.maximum) throw new Error(`At most ${field.schema.maximum}.`);
      return found;
    }
    case "json":
      return parsed(typed);
    default:
      return typed;
  }
}

export function parsed(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw new Error(`This is not JSON: ${(error as Error).message}`);
  }
}

/** All values of a form; null if some are wrong, which `problems` then says. */
export function readAll(fields: Field[], draft: Draft, problems: Signal<Record<string, string>>): Record<string, Json> | null {
  const found: Record<string, Json> = {};
  const wrong: Record<string, string> = {};
  for (const field of fields) {
    try {
      const value = read(field, draft[field.name]);
      if (value !== undefined) found[field.name] = value;
    } catch (error) {
      wrong[field.name] = (error as Error).message;
    }
  }
  problems.value = wrong;
  return Object.keys(wrong).length ? null : found;
}

interface InputProps {
  field: Field;
  value: string | boolean | undefined;
  onChange(value: string | boolean | undefined): void;
  problem?: string | undefined;
  label?: string;
}

export function FieldInput({ field, value, onChange, problem, label }: InputProps) {
  const { schema, kind } = field;
  const id = `field-${field.name}`;
  const about = [schema.description && `${id}-about`, problem && `${id}-problem`].filter(Boolean).join(" ") || undefined;
  const common = { id, "aria-describedby": about, "aria-invalid": Boolean(problem), required: field.required };
  const text = typeof value === "string" ? value : "";
  const input = (event: Event): void => onChange((event.target as HTMLInputElement).value);
  const hint = { text: "text", number: "number", integer: "whole number", boolean: "yes or no", choice: "choice", json: "JSON" }[kind];
  return (
    <div class="field">
      <label for={id} id={`${id}-label`}>{label ?? field.name}<span class="hint">{hint}{field.required ? "" : ", optional"}</span></label>
      {kind === "boolean" ? (
        <Segments label={field.name} labelledby={`${id}-label`} name={id} options={[[true, "Yes"], [false, "No"]]} value={value} onChange={onChange} />
      ) : kind === "choice" && schema.enum!.length <= 4 ? (
        <Segments label={field.name} labelledby={`${id}-label`} name={id} options={(schema.enum as string[]).map((each): [string, string] => [each, each])} value={text} onChange={onChange} />
      ) : kind === "choice" ? (
        <select {...common} value={text} onChange={input}>
          <option value="" />
          {(schema.enum as string[]).map((each) => <option key={each} value={each}>{each}</option>)}
        </select>
      ) : kind === "text" || kind === "json" ? (
        <textarea {...common} rows={rowsFor(text, kind)} class={kind === "json" ? "mono" : ""} value={text} onInput={input} spellcheck={kind === "text"} />
      ) : (
        <input {...common} inputMode={kind === "integer" ? "numeric" : "decimal"} value={text} onInput={input} />
      )}
      {schema.description && <p class="about" id={`${id}-about`}>{schema.description}</p>}
      {problem && <p class="wrong" id={`${id}-problem`} role="alert">{problem}</p>}
    </div>
  );
}

function rowsFor(text: string, kind: string): number {
  return Math.min(12, Math.max(kind === "json" ? 3 : 1, text.split("\n").length + Math.floor(text.length / 70)));
}

export function useDraft(fields: Field[], given: Record<string, Json> = {}): { draft: Signal<Draft>; problems: Signal<Record<string, string>> } {
  const draft = useSignal<Draft>(Object.fromEntries(fields.map((each) => [each.name, start(each, given[each.name])])));
  return { draft, problems: useSignal<Record<string, string>>({}) };
}

export function Fields({ fields, draft, problems }: { fields: Field[]; draft: Signal<Draft>; problems: Signal<Record<string, string>> }) {
  return (
    <>
      {fields.map((field) => (
        <FieldInput key={field.name} field={field} value={draft.value[field.name]} problem={problems.value[field.name]}
          onChange={(value) => { draft.value = { ...draft.value, [field.name]: value }; }} />
      ))}
    </>
  );
}
